"""Doctor: looks at environment, cluster, channels and contracts, and says what is wrong and how to mend it."""

from eventbus.doctor.findings import Finding, Level
from eventbus.doctor.visit import examine

__all__ = ["Finding", "Level", "examine"]
