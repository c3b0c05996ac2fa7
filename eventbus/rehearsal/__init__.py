"""Rehearsal: whether dead letters would pass now, and their replay in growing steps.

A tool asks on a topic, and a worker that runs the channel's handlers runs them on the letters and takes everything back
(`worker`); its verdicts come on another topic (`asking`). `ramp` replays 1, 10, 100 and all, and stops at the first that
fails again.
"""
