#!/bin/sh
# Points apt on this machine at the millpond box http://@BOX@ and, where that
# does not answer, directly at the mirrors. Run it as root; again whenever you
# like; with --remove to undo it.
set -eu

box='@BOX@'
conf=/etc/apt/apt.conf.d/01millpond
probe=/usr/local/lib/millpond/apt-probe

usage() {
	echo "usage: setup.sh [--remove]" >&2
	exit 2
}

remove() {
	rm -f "$conf" "$probe"
	rmdir /usr/local/lib/millpond 2>/dev/null || true
	echo "millpond: apt goes to the mirrors directly again."
}

# put writes standard input to a file that has never half of it.
put() {
	cat >"$1.new"
	chmod "$2" "$1.new"
	mv -f "$1.new" "$1"
}

install() {
	if [ ! -d /etc/apt/apt.conf.d ]; then
		echo "millpond: /etc/apt/apt.conf.d is missing; is this a Debian or Ubuntu machine?" >&2
		exit 1
	fi
	mkdir -p /usr/local/lib/millpond
	# apt runs it before it asks for anything, as its own user, and takes the
	# proxy that it prints. apt's own download helper is always there.
	put "$probe" 755 <<EOF
#!/bin/sh
# Written by millpond's setup.sh. Prints the proxy that apt is to use: the box
# if it is ready, else DIRECT.
box='$box'
EOF
	cat >>"$probe" <<'EOF'
ready() {
	if command -v curl >/dev/null 2>&1; then
		curl -fsS --noproxy '*' --connect-timeout 1 --max-time 3 -o /dev/null "http://$box/readyz"
	elif command -v wget >/dev/null 2>&1; then
		wget -q --no-proxy -T 2 -t 1 -O /dev/null "http://$box/readyz"
	else
		answer=$(mktemp) || return 1
		timeout 3 /usr/lib/apt/apt-helper -o Acquire::http::Proxy=DIRECT -o Acquire::http::Proxy-Auto-Detect= \
			-o Acquire::Retries=0 -o Acquire::http::Timeout=2 download-file "http://$box/readyz" "$answer" >/dev/null
		status=$?
		rm -f "$answer"
		return "$status"
	fi
}
if ready 2>/dev/null; then
	echo "http://$box"
else
	echo DIRECT
fi
EOF
	# A source that names the box itself needs no proxy. The colons of an IPv6
	# address would be parts of the option's name.
	case $box in
	\[*) own= ;;
	*) own="Acquire::http::Proxy::${box%:*} \"DIRECT\";" ;;
	esac
	put "$conf" 644 <<EOF
// Written by millpond's setup.sh; "setup.sh --remove" undoes it.
Acquire::http::Proxy-Auto-Detect "$probe";
$own
EOF
	case $("$probe") in
	DIRECT)
		echo "millpond: apt will use http://$box as soon as that answers; until then it goes to the mirrors directly." ;;
	*)
		echo "millpond: apt uses http://$box, and the mirrors directly when that does not answer." ;;
	esac
}

[ "$#" -le 1 ] || usage
case ${1-} in
'' | --remove) ;;
*) usage ;;
esac
if [ "$(id -u)" -ne 0 ]; then
	echo "millpond: this needs root; run it with sudo sh" >&2
	exit 1
fi
if [ "${1-}" = --remove ]; then
	remove
else
	install
fi
