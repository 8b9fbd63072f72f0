"""Ranking and scoring by the field's protocols, and the choice of the link threshold."""
