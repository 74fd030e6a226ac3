"""Where policies meet simulated users: rollout, figures, protocols, experiments."""
