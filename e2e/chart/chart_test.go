// Package chart tests deploy/helm/millpond without a cluster: what the chart
// renders, what its schema refuses, and that it keeps step with the box.
//
// It is a module of its own since Helm and the Kubernetes types come with
// several hundred others. The same go.mod pins the helm that the tests in a
// cluster run:
//
//	go build -o helm helm.sh/helm/v4/cmd/helm
//
// The tests that ask the box itself run the program that MILLPOND_BINARY names.
package chart
