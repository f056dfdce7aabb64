package provision;

import java.io.IOException;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.BlockLocation;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.LocalFileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RemoteIterator;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.util.Progressable;

/**
 * The driver's file system for file: on a cluster. It refuses, in words, to write where only this machine would see it
 * (the workers' parts of the rows would be lost), and to plan a read of what only this machine has.
 *
 * Spark's driver makes the output folder and lists the input of every job, from each of its APIs: here is the one place
 * that all of them pass. The executors have Hadoop's own class. guard.py puts it in place. The bake compiles it with
 * Janino, which Spark has for its generated code, so it keeps to what Janino knows: no lambdas, no annotations that matter.
 */
public class SharedPaths extends LocalFileSystem {
  private String[] shared;
  private String[] local;
  private String advice;

  public void setConf(Configuration conf) {
    super.setConf(conf);
    if (conf != null) {
      shared = conf.getTrimmedStrings("provision.paths.shared");
      local = conf.getTrimmedStrings("provision.paths.local");
      advice = conf.get("provision.paths.advice", "");
    }
  }

  private static boolean below(String path, String[] folders) {
    for (int i = 0; i < folders.length; i++) {
      if (path.equals(folders[i]) || path.startsWith(folders[i] + "/")) {
        return true;
      }
    }
    return false;
  }

  /** Whether executors are on other machines than this one: guard.py notes the master of each SparkContext. */
  private static boolean onCluster() {
    return !System.getProperty("provision.master", "local").startsWith("local");
  }

  private Path written(Path path) {
    String text = makeQualified(path).toUri().getPath();
    if (onCluster() && !below(text, shared)) {
      throw new IllegalArgumentException(
          text + " is on this machine alone: every worker would write its rows to a disk of its own, and they would be lost. "
          + "Write to " + advice + ".");
    }
    return path;
  }

  private Path read(Path path) {
    String text = makeQualified(path).toUri().getPath();
    if (onCluster() && below(text, local)) {
      throw new IllegalArgumentException(
          text + " is on this machine alone: the workers cannot read it. Put it into " + advice + ", and read it there.");
    }
    return path;
  }

  public boolean mkdirs(Path path) throws IOException {
    return super.mkdirs(written(path));
  }

  public boolean mkdirs(Path path, FsPermission permission) throws IOException {
    return super.mkdirs(written(path), permission);
  }

  public FSDataOutputStream create(
      Path path, FsPermission permission, boolean overwrite, int buffer, short copies, long block, Progressable progress)
      throws IOException {
    return super.create(written(path), permission, overwrite, buffer, copies, block, progress);
  }

  public FSDataOutputStream createNonRecursive(
      Path path, FsPermission permission, boolean overwrite, int buffer, short copies, long block, Progressable progress)
      throws IOException {
    return super.createNonRecursive(written(path), permission, overwrite, buffer, copies, block, progress);
  }

  public FileStatus[] listStatus(Path path) throws IOException {
    return super.listStatus(read(path));
  }

  public RemoteIterator listLocatedStatus(Path path) throws IOException {
    return super.listLocatedStatus(read(path));
  }

  public BlockLocation[] getFileBlockLocations(FileStatus file, long start, long length) throws IOException {
    read(file.getPath());
    return super.getFileBlockLocations(file, start, length);
  }
}
