"""Sources, detectors, the runner that joins the stages. May import all rooms above."""
