package deb

import "runtime"

// Machine is the Debian architecture of the program (dpkg's cputable and
// tupletable).
func Machine() string {
	switch arch := runtime.GOARCH; arch {
	case "386":
		return "i386"
	case "arm":
		return "armhf"
	case "ppc64le":
		return "ppc64el"
	case "mipsle":
		return "mipsel"
	case "mips64le":
		return "mips64el"
	default:
		return arch // amd64, arm64, riscv64, s390x, loong64
	}
}
