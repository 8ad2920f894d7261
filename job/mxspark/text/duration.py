"""Durations for people."""


def in_words(seconds: float) -> str:
    """`75.2` as `1 min 15 s`, `7.25` as `7.2 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
