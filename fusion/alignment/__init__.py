"""Graph checkpoints at work: trained, measured, and looked into entity by entity."""
