# Read by the framework of apt's integration tests when a test begins. It sends
# apt through a proxy, but for what a test tells its own web server or asks it.
# In the environment, so that a test which has a proxy of its own uses that; apt
# takes http_proxy for https as well.
if [ -n "$SUITE_PROXY" ]; then
	export http_proxy="$SUITE_PROXY"
	# As the framework has it, but for no_proxy.
	downloadfile() {
		local none=
		case "$1" in
		*/_config/*) none=localhost;;
		esac
		no_proxy="$none" apthelper -o "Debug::Acquire::${1%%:*}=1" -o Debug::pkgAcquire::Worker=1 \
			download-file "$1" "$2" "$3" 2>&1 && [ -r "$2" ]
	}
fi
# Has the box forget what it holds before apt fetches something.
if [ -n "$SUITE_FORGET" ]; then
	forget() {
		case " $* " in
		*' update '*|*' download '*|*' install '*|*' source '*) curl -sSf --noproxy '*' "$SUITE_FORGET";;
		esac
	}
	aptget() { forget "$@"; runapt apt-get "$@"; }
	apt() { forget "$@"; runapt apt "$@"; }
fi
