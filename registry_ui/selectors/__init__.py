"""The read side's queries, kept out of views and templates. They read the gate's tables and write nothing."""
