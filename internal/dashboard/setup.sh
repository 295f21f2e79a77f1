#!/bin/sh
# Points apt on this machine at the millpond box http://@BOX@ and, where that
# does not answer, at another box of the site or directly at the mirrors. Run it
# as root; again whenever you like; with --remove to undo it.
#
# --https rewrites the https addresses in this machine's sources so that the box
# can cache what they lead to; --https --undo puts back what it rewrote.
set -eu
umask 022 # apt runs the probe as a user of its own, who has to reach it

box='@BOX@'
others='@OTHERS@' # boxes of the same site, for when that does not answer
conf=/etc/apt/apt.conf.d/01millpond
probe=/usr/local/lib/millpond/apt-probe
cache=/var/cache/millpond-setup # where the probe keeps what the boxes say

usage() {
	echo "usage: setup.sh [--remove | --https [--undo]]" >&2
	exit 2
}

remove() {
	undo
	rm -f "$conf" "$probe"
	rm -rf "$cache"
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
	rm -rf "$cache"
	mkdir -p "$cache"
	# apt runs the probe as this user.
	user=
	eval "$(apt-config shell user APT::Sandbox::User)"
	chown "${user:-root}" "$cache" 2>/dev/null || true
	# apt runs it with a URL before it connects to a host, as its own user, and takes the
	# proxy that it prints. The smallest images have bash and timeout, but no curl or wget.
	cat >"$probe.new" <<EOF
#!/bin/bash
# Written by millpond's setup.sh. apt gives it a URL and uses the proxy that it prints:
# a box that takes the URL, else DIRECT.
box='$box'
others='$others'
cache='$cache'
EOF
	cat >>"$probe.new" <<'EOF'
set -f # nothing in what is read below is a pattern
url=${1:-}
case $url in
*[[:space:]]*)
	echo DIRECT
	exit
	;;
*://*)
	# A login in the URL is not for the box.
	rest=${url#*://}
	host=${rest%%/*}
	url=${url%%://*}://${host##*@}${rest#"$host"}
	;;
esac

# ask prints a line within some seconds: what a box answers, proxy or DIRECT, its own
# address, and what it says of other boxes.
ask() {
	# shellcheck disable=SC2016 # expanded by the inner bash
	timeout "$2" bash -c '
	host=${1%:*}
	host=${host#\[}
	exec 3<>"/dev/tcp/${host%\]}/${1##*:}" || exit
	printf "GET /probe?%s HTTP/1.0\r\nHost: %s\r\n\r\n" "$2" "$1" >&3
	read -r _ status _ <&3 && [ "$status" = 200 ] || exit
	while read -r line <&3 && [ "${line%?}" ]; do :; done
	read -r line <&3
	case $line in
	proxy) answer=proxy ;;
	direct*) answer=DIRECT ;;
	*) exit ;;
	esac
	said=
	read -r -n 400 said <&3
	echo "$answer $1 $said"' ask "$1" "$url" 2>/dev/null
}

# addresses sets found to those of the words that are a numeric address with a port, four
# at most and none twice. A box, or whoever answers in its place, can say anything.
addresses() {
	found=
	local word count=0 number='(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])'
	local pattern="^($number\.$number\.$number\.$number|\[[0-9a-f]*(:[0-9a-f]*){2,7}\]):[1-9][0-9]{0,4}$"
	for word; do
		if ((count == 4)); then
			break
		elif ((${#word} <= 47)) && [[ $word =~ $pattern && $word != "$box" && " $found " != *" $word "* ]]; then
			found+="${found:+ }$word"
			((count += 1))
		fi
	done
}

# learned is what the boxes said last. Those of setup.sh fill the room beside it.
learned=
if [ -f "$cache/boxes" ]; then
	read -r -n 400 learned <"$cache/boxes"
fi
# shellcheck disable=SC2086 # words
addresses $learned
learned=$found
# shellcheck disable=SC2086 # words
addresses $learned $others

# The box that this machine was set up with has a start of 0.3 s; then the others are asked
# at once, and the first to answer is the nearest. All give up after 1.5 s in all.
exec 4< <(ask "$box" 1.5 2>/dev/null)
answer=
if ! read -r -t 0.3 -u 4 answer; then
	answer=$({
		for other in $found; do
			ask "$other" 1.2 &
		done
		head -n 1 <&4 &
	} 2>/dev/null | head -n 1)
fi

# shellcheck disable=SC2086 # words
set -- $answer
case ${1:-} in
proxy) echo "http://$2" ;;
*) echo DIRECT ;;
esac

# What the box says of others is remembered, if it is new, by the user that apt runs this
# as. That user owns the directory, and root does not write where another user could
# have put a link.
if [ "${3:-}" = boxes: ] && [ -d "$cache" ] && [ ! -L "$cache" ] && [ -O "$cache" ] && [ -w "$cache" ]; then
	at=$2
	shift 3
	addresses "$at" "$@"
	if [ "$found" != "$learned" ]; then
		new=$cache/new.$(($$ % 16))
		printf '%s\n' "$found" >"$new" && mv -f "$new" "$cache/boxes"
	fi
fi 2>/dev/null
exit 0
EOF
	chmod 755 "$probe.new"
	mv -f "$probe.new" "$probe"
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
	case $("$probe" "") in
	DIRECT)
		echo "millpond: apt will use http://$box as soon as that answers; until then it goes to the mirrors directly." ;;
	*)
		echo "millpond: apt uses http://$box, and the mirrors directly when that does not answer." ;;
	esac
}

# places finds out where this apt has its sources, and what else names hosts. What is
# kept for --undo is below the same root.
places() {
	root=/ list='' parts='' netrc='' netrcs='' preferences='' preference=''
	eval "$(apt-config shell root Dir list Dir::Etc::sourcelist/f parts Dir::Etc::sourceparts/d \
		netrc Dir::Etc::netrc/f netrcs Dir::Etc::netrcparts/d \
		preference Dir::Etc::preferences/f preferences Dir::Etc::preferencesparts/d)"
	parts=${parts%/}
	kept=${root%/}/var/lib/millpond-setup
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
}

# forward rewrites the https addresses in $1, a file of sources of the kind $2, to
# standard output, and says so on standard error.
forward() {
	LC_ALL=C awk -v box="$box" -v kind="$2" -v conf="$work/conf" -v newline="$(newline "$1")" '
	BEGIN {
		while ((getline <conf) > 0)
			named = named " " tolower($0)
		self = tolower(box)
		sub(/:[0-9]+$/, "", self)
		yes = "(yes|true|with|on|enable|1)"
		no = "^[ \t]*(no|false|without|off|disable|0)[ \t\r]*$"
	}

	# isNamed reports whether the configuration has the host as a word.
	function isNamed(host,  rest, i, before, after) {
		rest = named
		while ((i = index(rest, host)) > 0) {
			before = substr(rest, i - 1, 1)
			after = substr(rest, i + length(host), 1)
			if (before !~ /[a-z0-9.-]/ && after !~ /[a-z0-9.-]/)
				return 1
			rest = substr(rest, i + 1)
		}
		return 0
	}

	# changed returns the address to use in place of uri.
	function changed(uri, unsigned,  host, why) {
		host = tolower(uri)
		sub(/^https:\/\//, "", host)
		sub(/\/.*/, "", host)
		why = ""
		if (host ~ /@/)
			why = "it has a login"
		if (host == tolower(box) || host == self)
			why = "it is the box"
		sub(/:[0-9]+$/, "", host)
		if (why == "" && unsigned)
			why = "without signatures, only https protects it"
		else if (why == "" && isNamed(host))
			why = "apt has a login, a preference or a setting for " host
		if (why != "") {
			sub(/\/\/[^\/]*@/, "//", uri)
			print "leave " uri ", since " why >"/dev/stderr"
			return ""
		}
		print "now " uri " is now http://" box "/https/" substr(uri, 9) >"/dev/stderr"
		return "http://" box "/https/" substr(uri, 9)
	}

	# words rewrites all words of text that are https addresses.
	function words(text, unsigned,  out, word, new) {
		out = ""
		while (match(text, /[^ \t\r]+/)) {
			word = substr(text, RSTART, RLENGTH)
			if (word ~ /^https:\/\/[^\/]/ && (new = changed(word, unsigned)) != "")
				out = out substr(text, 1, RSTART - 1) new
			else
				out = out substr(text, 1, RSTART - 1 + RLENGTH)
			text = substr(text, RSTART + RLENGTH)
		}
		return out text
	}

	function put(line) {
		printf "%s%s", (lines++ ? "\n" : ""), line
	}

	# oneLine rewrites a line of the form: deb [options] address suite components
	function oneLine(line,  head, options, rest) {
		if (!match(line, /^[ \t]*deb(-src)?[ \t]+(\[[^]]*\][ \t]+)?https:\/\/[^ \t\r]+/))
			return line
		head = substr(line, 1, RLENGTH)
		rest = substr(line, RLENGTH + 1)
		match(head, /https:\/\/[^ \t]+$/)
		options = tolower(substr(head, 1, RSTART - 1))
		return substr(head, 1, RSTART - 1) words(substr(head, RSTART), options ~ ("(trusted|allow-insecure|allow-downgrade-to-insecure)[+]?=" yes)) rest
	}

	# stanza rewrites the fields URIs of the lines that were collected.
	function stanza(  i, name, value, off, unsigned, colon) {
		name = ""
		off = unsigned = 0
		for (i = 1; i <= collected; i++) {
			field[i] = ""
			if (line[i] ~ /^#/)
				continue
			value = line[i]
			if (line[i] !~ /^[ \t]/) {
				colon = index(line[i], ":")
				name = tolower(substr(line[i], 1, colon - 1))
				sub(/[ \t]+$/, "", name)
				value = substr(line[i], colon + 1)
			}
			field[i] = name
			if (name == "enabled" && tolower(value) ~ no)
				off = 1
			if (name ~ /^(trusted|allow-insecure|allow-downgrade-to-insecure)$/ && tolower(value) ~ ("^[ \t]*" yes "[ \t\r]*$"))
				unsigned = 1
		}
		for (i = 1; i <= collected; i++) {
			if (field[i] == "uris" && !off) {
				colon = line[i] ~ /^[ \t]/ ? 0 : index(line[i], ":")
				line[i] = substr(line[i], 1, colon) words(substr(line[i], colon + 1), unsigned)
			}
			put(line[i])
		}
		collected = 0
	}

	kind == "list" { put(oneLine($0)); next }
	/^\r?$/ { stanza(); put($0); next }
	{ line[++collected] = $0 }
	END {
		stanza()
		if (newline && lines)
			printf "\n"
	}' "$1"
}

# backward puts back in $3, a file that was changed since, the addresses that $2, which
# was written, has and $1, the original, has not.
backward() {
	LC_ALL=C awk -v newline="$(newline "$3")" '
	# after is where in a word the name of a field ends.
	function after(word) {
		return match(word, /^[Uu][Rr][Ii][Ss]:/) ? RLENGTH : 0
	}
	FNR == 1 { file++ }
	file == 1 { for (i = 1; i <= NF; i++) had[substr($i, after($i) + 1)]; next }
	file == 2 {
		for (i = 1; i <= NF; i++) {
			word = substr($i, after($i) + 1)
			if (word ~ /^http:\/\/[^\/]+\/https\// && !(word in had))
				ours[word]
		}
		next
	}
	{
		text = $0
		out = ""
		while (match(text, /[^ \t\r]+/)) {
			word = substr(text, RSTART, RLENGTH)
			out = out substr(text, 1, RSTART - 1)
			text = substr(text, RSTART + RLENGTH)
			name = substr(word, 1, after(word))
			word = substr(word, length(name) + 1)
			if (word in ours)
				sub(/^http:\/\/[^\/]+\/https\//, "https://", word)
			out = out name word
		}
		printf "%s%s", (lines++ ? "\n" : ""), out text
	}
	END { if (newline && lines) printf "\n" }' "$1" "$2" "$3"
}

# newline prints 1 if the last line of $1 has an end.
newline() {
	[ -n "$(tail -c 1 "$1")" ] || echo 1
}

# place puts a copy of $1, with its owner, mode and time, in the place of $2, which may
# be a link. There is never half of it, and apt does not look at hidden files.
place() {
	real=$(readlink -f "$2")
	cp -a "$1" "${real%/*}/.millpond.new"
	mv -f "${real%/*}/.millpond.new" "$real"
}

# before copies $1 to $work/before as it was before it was rewritten; $2 is its name
# among what is kept.
before() {
	cp -a "$(readlink -f "$1")" "$work/before"
	if [ ! -e "$kept/original/$2" ] || cmp -s "$1" "$kept/original/$2"; then
		return
	fi
	if cmp -s "$1" "$kept/written/$2"; then
		cp -a "$kept/original/$2" "$work/before"
	else
		backward "$kept/original/$2" "$kept/written/$2" "$1" >"$work/before"
	fi
}

# forget removes what is kept of the name $1, the part without which the other does
# not count first.
forget() {
	rm -f "$kept/original/$1" "$kept/written/$1"
	rmdir "$kept/original" "$kept/written" "$kept" 2>/dev/null || true
}

# rewrite rewrites the file of sources $1, of the kind $2, with the name $3 among what is
# kept.
rewrite() {
	before "$1" "$3"
	cp -a "$work/before" "$work/after"
	if ! forward "$work/before" "$2" >"$work/after" 2>"$work/said"; then
		cat "$work/said" >&2
		echo "millpond: $1 could not be rewritten" >&2
		exit 1
	fi
	if cmp -s "$work/before" "$work/after"; then
		cmp -s "$1" "$work/before" || place "$work/before" "$1"
		forget "$3"
	else
		rewritten=yes
		mkdir -p "$kept/original" "$kept/written"
		place "$work/after" "$kept/written/$3"
		place "$work/before" "$kept/original/$3"
		cmp -s "$1" "$work/after" || place "$work/after" "$1"
	fi
	while read -r verb what; do
		case $verb in
		leave) echo "millpond: $1: left alone is $what" ;;
		*) echo "millpond: $1: $what" ;;
		esac
	done <"$work/said"
}

https() {
	places
	rewritten=
	{
		apt-config dump
		for file in "$netrc" "$netrcs"/* "$preference" "$preferences"/*; do
			if [ -f "$file" ]; then
				cat "$file"
			fi
		done
	} >"$work/conf"
	if [ -f "$list" ]; then
		rewrite "$list" list "list.${list##*/}"
	fi
	for file in "$parts"/*.list "$parts"/*.sources; do
		if [ -f "$file" ]; then
			rewrite "$file" "${file##*.}" "parts.${file##*/}"
		fi
	done
	if [ "$rewritten" ]; then
		echo "millpond: these sources need the box; \"setup.sh --https --undo\" puts them back. Now run apt-get update."
	else
		echo "millpond: no https address was rewritten."
	fi
}

undo() {
	places
	for original in "$kept/original"/*; do
		[ -f "$original" ] || continue
		name=${original##*/}
		case $name in
		list.*) file=$list ;;
		*) file=$parts/${name#parts.} ;;
		esac
		if [ -f "$file" ]; then
			before "$file" "$name"
			cmp -s "$file" "$work/before" || place "$work/before" "$file"
			echo "millpond: $file is without the box's address again."
		fi
		forget "$name"
	done
}

case $* in
'' | --remove | --https | '--https --undo') ;;
*) usage ;;
esac
if [ "$(id -u)" -ne 0 ]; then
	echo "millpond: this needs root; run it with sudo sh" >&2
	exit 1
fi
case $* in
--remove) remove ;;
--https) https ;;
'--https --undo') undo ;;
*) install ;;
esac
