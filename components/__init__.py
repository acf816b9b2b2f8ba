"""The page kit, which knows no gate: charts, mark-down, template tags, style sheets and scripts."""
