"""The same work as a peer, side by side in one run."""
