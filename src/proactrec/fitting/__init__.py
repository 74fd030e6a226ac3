"""From a data set to trained models and the policy on them; every stage is kept, and made once."""
