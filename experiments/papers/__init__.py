"""One file a paper: its settings, its figure, and its numbers beside ours."""
