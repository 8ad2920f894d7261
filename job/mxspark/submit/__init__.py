"""Jobs that run elsewhere: submitted, followed, diagnosed, cancelled."""
