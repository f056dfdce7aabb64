# Collects all facts about a node at once, as root: each SSH session takes seconds on an emulated node.
# The output has sections, each after a line `@@ name`. $1: files, $2: units, $3: users, $4: peers.
export LC_ALL=C
section() { echo "@@ $1"; }

# On the node with the Hub it starts when somebody asks for it; it is to answer below.
systemctl start spark-history

section hostname; hostname
section machine-id; cat /etc/machine-id
section units; for unit in $2; do echo "$unit $(systemctl is-enabled "$unit") $(systemctl is-active "$unit")"; done
section failed; systemctl list-units --failed --plain --no-legend | cut -d ' ' -f 1
section restarts; for unit in $2; do echo "$unit $(systemctl show --property=NRestarts --value "$unit")"; done
section tcp; ss -Hltn | awk '{print $4}'
section udp; ss -Hlun | awk '{print $4}'
section firewall; nft list ruleset
section files; stat --format '%n %a %U %G' $1
section sums; sha256sum $1
section packages; dpkg-query --show --showformat '${Package} ${Version}\n'
section python; ls /opt/jupyter/lib/python3*/site-packages | sed -n 's/\.dist-info$//p'
section own-packages; readlink /opt/packages/current; cat /opt/jupyter/lib/python3*/site-packages/zz-provision-packages.pth
section proxy; cat /opt/chp/node_modules/configurable-http-proxy/package.json
section java; readlink -f /usr/bin/java
section processor; grep --max-count=1 --only-matching --word-regexp sse4_2 /proc/cpuinfo
section sshd; sshd -T
section cloud-init; cat /run/cloud-init/result.json
section node-env; cat /run/spark/node.env
section scratch; stat --format '%a %U %G' /var/lib/spark/scratch; findmnt --noheadings --output FSTYPE --target /var/lib/spark/scratch
# A worker mounts them at this look, if it has not before.
section root-options; findmnt --noheadings --output OPTIONS /
section files-of-people
for folder in /home /shared; do
  echo "$folder $(timeout 100 stat --format '%a %U' "$folder/.") $(findmnt --noheadings --output FSTYPE --target "$folder/." | tail -n 1)"
done
section accounts
for user in $3; do
  echo "$user $(passwd --status "$user" | cut -d ' ' -f 2) $(getent passwd "$user" | cut -d : -f 6,7) $(stat --format '%a %U' "/home/$user") $(id -nG "$user")"
done
section secret-in-arguments
awk '$1 == "spark.authenticate.secret" {print $2}' /etc/spark/spark-defaults.conf | grep --files-with-matches --fixed-strings --file - /proc/[0-9]*/cmdline
section metadata-as-root; curl --silent --output /dev/null --max-time 5 http://169.254.169.254/; echo $?
section metadata-as-nobody; setpriv --reuid=nobody --regid=nogroup --clear-groups curl --silent --output /dev/null --max-time 5 http://169.254.169.254/; echo $?
# What other users of this node can read: files that must be secret, and any file that contains a secret.
section readable
secrets=$(
  echo 'PRIVATE KEY-----'
  awk '$1 == "spark.authenticate.secret" {print $2}' /etc/spark/spark-defaults.conf
  cut -d : -f 2 /etc/shadow | grep '^\$'
)
for user in nobody spark $3; do
  become="setpriv --reuid=$user --regid=$(id -g "$user") --init-groups"
  $become sh -c '
    for file in /etc/shadow /etc/gshadow /etc/spark/spark-defaults.conf /etc/jupyterhub/jupyterhub_config.py /etc/jupyterhub/tls/hub.key \
      /var/lib/jupyterhub/* /var/lib/cloud/instances/*/*data*.txt* /run/cloud-init/*sensitive* /etc/ssh/ssh_host_*_key \
      /dev/disk/by-label/config-2 /dev/sr0 /dev/vd* /dev/sd* /root /home/*; do
      [ ! -r "$file" ] || echo "$file"
    done' | sed "s|^|$user |"
  # printf is a shell builtin: no secret is on a command line.
  printf '%s\n' "$secrets" | $become grep --recursive --files-with-matches --no-messages --fixed-strings --file=- \
    /etc /run /var/lib/cloud /var/lib/jupyterhub /var/log /usr/local /opt/chp/*.* /tmp | sed "s|^|$user |"
done
section peers
# Of a thousand workers the node with the Hub tries each; one that a firewall drops takes ten seconds.
printf '%s\n' $4 | xargs --no-run-if-empty --max-procs=64 --max-args=1 bash -c '
  if timeout 10 bash -c "exec 3<>/dev/tcp/${0%:*}/${0#*:}" 2>/dev/null; then echo "$0 open"; else echo "$0 closed"; fi'
section spark-master; curl --silent --max-time 90 "http://$(sed -n 's/SPARK_LOCAL_IP=//p' /run/spark/node.env):8080/json/" | tr -d '\n'; echo
section history; ! systemctl is-active --quiet spark-history || curl --silent --retry 300 --retry-delay 1 --retry-max-time 300 --retry-connrefused --output /dev/null --write-out '%{http_code}\n' "http://$(sed -n 's/SPARK_LOCAL_IP=//p' /run/spark/node.env):18080/"
section pages; [ ! -e /usr/local/lib/provision/spark-pages ] || echo there
section pages-as-nobody
for port in 18080 8081; do
  setpriv --reuid=nobody --regid=nogroup --clear-groups curl --silent --output /dev/null --max-time 5 "http://$(sed -n 's/SPARK_LOCAL_IP=//p' /run/spark/node.env):$port/"; echo $?
done
section metrics-as-nobody
for port in 127.0.0.1:8429 127.0.0.1:8880 127.0.0.1:9108 "$(sed -n 's/SPARK_LOCAL_IP=//p' /run/spark/node.env):9100"; do
  setpriv --reuid=nobody --regid=nogroup --clear-groups curl --silent --output /dev/null --max-time 5 "http://$port/"; echo $?
done
section end
