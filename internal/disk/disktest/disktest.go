// Package disktest gives tests small disks of their own, and fills them. It needs Linux,
// and root, as the networks of other tests do. All that it makes is there until the test
// ends.
package disktest
