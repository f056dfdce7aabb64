"""Give Spark's drivers more time to register with their master: `python registration.py SPARK_HOME`.

A driver that has no answer within 20 s, which Spark has no setting for, registers once more. The master knows the
application by the first request alone and still answers the second, with an id of its own: from then on it refuses the
driver's every request for executors ("Unknown application"), and no job ever runs. After three tries the driver ends
itself. On a busy or emulated machine the first answer takes half a minute (spark-defaults.conf).

Raises ValueError where Spark's class is not as it was in 4.3.0, which ends the bake.
"""

import sys
from pathlib import Path

from jars import rewrite

CLASS = "org/apache/spark/deploy/client/StandaloneAppClient.class"
SECONDS = 90
# this.REGISTRATION_TIMEOUT_SECONDS = 20: aload_0, bipush 20, putfield.
BEFORE, AFTER = bytes([0x2A, 0x10, 20, 0xB5]), bytes([0x2A, 0x10, SECONDS, 0xB5])


def patched(code: bytes) -> bytes:
    """Return the class's code with the longer time."""
    if (code.count(BEFORE), code.count(AFTER)) == (0, 1):
        return code
    if code.count(BEFORE) != 1:
        raise ValueError(f"{CLASS} is not as expected: see whether Spark has a setting for its 20 s now")
    return code.replace(BEFORE, AFTER)


if __name__ == "__main__":
    (found,) = Path(sys.argv[1]).glob("jars/spark-core_*.jar")
    rewrite(found, {CLASS: patched})
