# Spark's and Python's programs in every login shell, the Hub's terminals among them: spark-submit, pyspark, python.
PATH=/opt/jupyter/bin:$PATH
export PATH SPARK_HOME=/opt/spark SPARK_CONF_DIR=/etc/spark PYSPARK_PYTHON=/opt/jupyter/bin/python
