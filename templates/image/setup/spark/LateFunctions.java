package provision;

import org.apache.spark.sql.SparkSessionExtensions;
import org.apache.spark.sql.SparkSessionExtensionsProvider;
import org.apache.spark.sql.catalyst.FunctionIdentifier;
import org.apache.spark.sql.catalyst.analysis.FunctionRegistry$;
import org.apache.spark.sql.catalyst.analysis.SimpleFunctionRegistry;
import org.apache.spark.sql.catalyst.expressions.Expression;
import org.apache.spark.sql.ml.InternalFunctionRegistration;
import scala.collection.immutable.Seq;
import scala.runtime.BoxedUnit;

/**
 * Has MLlib's internal functions registered when one of them is used, and not whenever a SparkSession is made: that costs
 * Scala's whole reflection, a second of a fast processor and a quarter of a minute of an emulated one.
 *
 * Spark finds this class in place of MLlib's own (late_functions.py).
 */
public class LateFunctions implements SparkSessionExtensionsProvider {
  /** All that InternalFunctionRegistration registers: the bake ends where that is no longer so (build-cds-archive). */
  private static final String[] NAMES = {"vector_to_array", "array_to_vector", "aggregate_metrics"};

  private static boolean announced;
  private static boolean registered;

  @Override
  public BoxedUnit apply(SparkSessionExtensions extensions) {
    // A session's first query has its parser made, and Spark's own functions are there by then.
    extensions.injectParser((session, parser) -> {
      announce();
      return parser;
    });
    return BoxedUnit.UNIT;
  }

  private static SimpleFunctionRegistry registry() {
    return FunctionRegistry$.MODULE$.internal();
  }

  private static void announce() {
    // Its own lock: nobody looks a function up while it is replaced.
    synchronized (registry()) {
      if (!announced) {
        for (String name : NAMES) {
          registry().createOrReplaceTempFunction(name, children -> build(name, children), "scala_udf");
        }
        announced = true;
      }
    }
  }

  private static Expression build(String name, Seq<Expression> children) {
    synchronized (registry()) {
      if (!registered) {
        for (String each : NAMES) {
          // Spark warns of those that are replaced while they are there.
          registry().dropFunction(new FunctionIdentifier(each));
        }
        new InternalFunctionRegistration().apply(new SparkSessionExtensions());
        registered = true;
      }
    }
    return (Expression) registry().lookupFunction(new FunctionIdentifier(name), children);
  }
}
