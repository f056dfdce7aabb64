"""Put LateFunctions in the place of MLlib's own extension of every SparkSession: `python late_functions.py SPARK_HOME CLASSES`.

CLASSES is the folder with what LateFunctions.java was compiled to. Raises ValueError where MLlib's jar names another extension
than that of Spark 4.3.0, which ends the bake.
"""

import sys
from pathlib import Path

from jars import rewrite

SERVICE = "META-INF/services/org.apache.spark.sql.SparkSessionExtensionsProvider"
BEFORE, AFTER = "org.apache.spark.sql.ml.InternalFunctionRegistration", "provision.LateFunctions"


def patched(service: bytes) -> bytes:
    """Return the list of extensions with ours."""
    named = [line for line in service.decode().splitlines() if line.strip() and not line.startswith("#")]
    if named not in ([BEFORE], [AFTER]):
        raise ValueError(f"MLlib's extensions are not as expected: {named}")
    return f"{AFTER}\n".encode()


if __name__ == "__main__":
    (found,) = Path(sys.argv[1]).glob("jars/spark-mllib_*.jar")
    classes = [(f"provision/{file.name}", file.read_bytes()) for file in sorted(Path(sys.argv[2]).glob("provision/*.class"))]
    rewrite(found, {SERVICE: patched}, classes)
