"""The adapter: the only place that imports MLflow. See `mirror.connect`."""
