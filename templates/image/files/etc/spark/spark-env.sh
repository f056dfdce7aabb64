# Read by every Spark program: the daemons, the notebooks' drivers, spark-submit; executors inherit it from the worker.
# What is set here is exported by bin/load-spark-env.sh.
for file in /run/spark/jvm.env /run/spark/node.env; do
  # shellcheck source=/dev/null
  [ ! -r "$file" ] || . "$file"
done
JAVA_HOME=/usr/local/lib/provision/jvm-home
