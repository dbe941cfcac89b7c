"""Reading and changing a pass: the tap that listens, interventions as data, and the lazy `Trace`."""
