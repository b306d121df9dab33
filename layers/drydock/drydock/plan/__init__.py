"""Which machines a run works on, in which order and waves, until when."""
