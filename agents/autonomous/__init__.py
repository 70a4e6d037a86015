"""The autonomous agent: it looks, thinks, decides, asks the gate, acts and reports, in one durable run at a time."""
