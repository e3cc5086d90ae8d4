"""Memory, time and cost of a layout on a cluster: pure arithmetic, without torch and without a GPU."""
