"""All platforms by name, and each by the name of its constant.

Where an energy is published per operation, a platform prices events. Where only capacities or
whole-chip figures are published it prices nothing and says so; a platform without any primary
source is listed and refused.
"""

from hw.chips import (
    ODIN,
    PER_OPERATION,
    SPINNAKER1,
    SPINNAKER2,
    TRUENORTH,
    TRUENORTH_AGGREGATE,
    odin,
)
from hw.envelopes import (
    AKIDA1,
    AKIDA2,
    BRAINSCALES2,
    ENVELOPED,
    HALA_POINT,
    LOIHI2,
    LOIHI3,
    NORTHPOLE,
    XYLO,
)
from hw.loihi1 import LOIHI1, LOIHI1_SANAFE, LOIHI1_X86
from hw.processors import (
    A100,
    ARM,
    BRAIN,
    CMOS45_FP32,
    CMOS45_INT8,
    CPU,
    DENSE,
    GTX_TITAN,
    H100,
    V100,
)

__all__ = [
    "LOIHI1",
    "LOIHI1_SANAFE",
    "LOIHI1_X86",
    "ODIN",
    "SPINNAKER1",
    "SPINNAKER2",
    "TRUENORTH",
    "TRUENORTH_AGGREGATE",
    "odin",
    "AKIDA1",
    "AKIDA2",
    "BRAINSCALES2",
    "HALA_POINT",
    "LOIHI2",
    "LOIHI3",
    "NORTHPOLE",
    "XYLO",
    "A100",
    "ARM",
    "BRAIN",
    "CMOS45_FP32",
    "CMOS45_INT8",
    "CPU",
    "GTX_TITAN",
    "H100",
    "V100",
    "PLATFORMS",
]

PLATFORMS = {platform.name: platform for platform in (*PER_OPERATION, *DENSE, *ENVELOPED)}
