"""Sequence encoders: item sequence → user vector, in one space with the encoder's item vectors."""
