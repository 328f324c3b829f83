"""Link prediction end to end: what is read, training, held-out figures beside baselines, cards."""
