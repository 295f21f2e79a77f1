#!/bin/bash
# Makes keys and signatures of Release here, and records in verdicts what apt's
# sqv says of them. Run it on Debian 13 with apt, sqv and gnupg. The secret keys
# are thrown away.
set -eu
cd "$(dirname "$0")"
homes=$(mktemp -d)
trap 'rm -rf "$homes"' EXIT
rm -f ./*.gpg ./*.sig verdicts
printf 'Origin: Example\nSuite: stable\n' >Release

# at TIME NAME ARGS: gpg at a time, with the secret keys of NAME
at() {
	local home=$homes/$2 time=$1
	mkdir -p "$home"
	chmod 700 "$home"
	shift 2
	gpg --homedir "$home" --batch -q --yes --pinentry-mode loopback --passphrase '' \
		--faked-system-time "${time}T000000" "$@" 2>/dev/null
}
key() { at 20100101 "$1" "${@:5}" --quick-gen-key "$1 <$1@example.org>" "$2" "$3" "$4"; }
fingerprint() { at 20100101 "$1" --list-keys --with-colons | awk -F: '/^fpr/ { print $10; exit }'; }
subkey() { at 20100102 "$1" "${@:3}" --quick-add-key "$(fingerprint "$1")" "$2" sign never; }
export_key() { at 20100101 "$1" --export >"${2:-$1}.gpg"; }
# sign TIME NAME FILE ARGS
sign() { at "$1" "$2" "${@:4}" -b -o "$3.sig" Release; }
# verdict KEYRING SIGNATURE DAYS
verdict() {
	for day in "${@:3}"; do
		if SEQUOIA_CRYPTO_POLICY=/usr/share/apt/default-sequoia.config \
			sqv --policy-as-of "$day" --not-after "$day" --keyring "$1.gpg" -- "$2.sig" Release >/dev/null 2>&1; then
			echo "$1 $2 $day yes"
		else
			echo "$1 $2 $day no"
		fi
	done >>verdicts
}

# algorithms of keys
for algo in rsa1024 rsa2048 rsa3072 rsa4096 dsa1024 dsa2048 dsa3072 nistp256 nistp384 nistp521 \
	brainpoolP256r1 brainpoolP384r1 brainpoolP512r1 secp256k1 ed25519; do
	key $algo $algo sign never
	export_key $algo
	sign 20100601 $algo $algo
	verdict $algo $algo 2014-01-31 2014-02-01 2024-01-31 2024-02-01 2026-11-26 2028-02-01 2030-01-31 2030-02-01
done
# hashes of signatures of files
for hash in MD5 SHA1 SHA224 SHA384 SHA512 RIPEMD160; do
	days='2013-01-31 2013-02-01 2026-01-31 2026-02-01'
	[ $hash != RIPEMD160 ] || days='2013-02-01' # go-crypto does not know it
	sign 20100601 rsa3072 hash-$hash --digest-algo $hash --allow-weak-digest-algos
	# shellcheck disable=SC2086
	verdict rsa3072 hash-$hash $days
done
sign 20100601 rsa3072 text --textmode
verdict rsa3072 text 2026-11-26
# hashes of keys' signatures of themselves
for hash in SHA1 SHA224; do
	key self-$hash rsa3072 sign never --cert-digest-algo $hash
	export_key self-$hash
	sign 20100601 self-$hash self-$hash
	verdict self-$hash self-$hash 2026-01-31 2026-02-01
done
at 20100201 self-SHA1 --quick-add-uid "$(fingerprint self-SHA1)" 'second <second@example.org>'
export_key self-SHA1 self-both
verdict self-both self-SHA1 2026-02-01
# subkeys
for pair in strong:rsa3072:ed25519: weak:ed25519:rsa1024: dsa:rsa3072:dsa2048: under-weak:rsa1024:ed25519: \
	SHA224:rsa3072:rsa3072:SHA224; do
	IFS=: read -r name primary sub hash <<<"$pair"
	key "sub-$name" "$primary" cert never
	subkey "sub-$name" "$sub" ${hash:+--cert-digest-algo "$hash"}
	export_key "sub-$name"
	sign 20100601 "sub-$name" "sub-$name"
	verdict "sub-$name" "sub-$name" 2026-01-31 2026-02-01
done
# validity
sign 20260601 rsa3072 expired --default-sig-expire 10d
verdict rsa3072 expired 2026-11-26
sign 20260601 rsa3072 future
verdict rsa3072 future 2026-05-31 2026-06-02
key old rsa3072 sign never
sign 20260601 old old-early
sign 20260801 old old-late
at 20100102 old --quick-set-expire "$(fingerprint old)" 2026-07-01
export_key old
for sig in old-early old-late; do verdict old $sig 2026-11-26; done
at 20261001 old --quick-set-expire "$(fingerprint old)" 2030-07-01
export_key old renewed
for sig in old-early old-late; do verdict renewed $sig 2026-11-26; done
key revoked rsa3072 sign never
sign 20100601 revoked revoked
sed -i 's/^:---/---/' "$homes"/revoked/openpgp-revocs.d/*.rev
at 20100601 revoked --import "$homes"/revoked/openpgp-revocs.d/*.rev
export_key revoked
verdict revoked revoked 2026-11-26
# several signatures
mv Release Release.good
echo 'Origin: another' >Release
sign 20260601 ed25519 bad
mv Release.good Release
cat rsa3072.gpg ed25519.gpg dsa2048.gpg >three.gpg
several() { cat "${@:2}" >"several-$1.sig" && verdict three "several-$1" 2026-11-26; }
several good rsa3072.sig ed25519.sig
several good-weak rsa3072.sig hash-SHA1.sig
several weak-good hash-SHA1.sig rsa3072.sig
several weak-key-good dsa2048.sig rsa3072.sig
several good-bad rsa3072.sig bad.sig
several bad-good bad.sig rsa3072.sig
several bad bad.sig
several good-unknown rsa3072.sig rsa4096.sig
several unknown-good rsa4096.sig rsa3072.sig
several unknown rsa4096.sig
