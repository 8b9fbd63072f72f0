"""Sources, detectors, the runner that joins the stages, live metrics. May import all rooms above."""
