"""What pages share: boot and navigation, pickers, the grid of pictures, caches, state."""
