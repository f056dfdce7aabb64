# The proxies of cluster analytics (proxy in the spec). Made by provision.
export HTTPS_PROXY='http://tls.example.org:3129'
export HTTP_PROXY='http://proxy.example.org:3128'
export NO_PROXY='localhost,127.0.0.1,169.254.169.254,10.20.0.0/24,10.20.0.10,10.20.0.11,192.0.2.10,.internal.example,repo.example.org,198.51.100.0/24'
export http_proxy='http://proxy.example.org:3128'
export https_proxy='http://tls.example.org:3129'
export no_proxy='localhost,127.0.0.1,169.254.169.254,10.20.0.0/24,10.20.0.10,10.20.0.11,192.0.2.10,.internal.example,repo.example.org,198.51.100.0/24'
