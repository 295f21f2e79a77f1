package chart

import (
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
)

// own is how long a box has after its hook to finish downloads and close its database.
const own = 28 * time.Second

// endsWithin checks that a pod has more time to end in than its hook and its box take.
func endsWithin(t *testing.T, pod core.PodSpec, hook time.Duration) {
	t.Helper()
	if got := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second; got <= hook+own {
		t.Errorf("a hook of %v, and %v to end in; want more than %v", hook, got, hook+own)
	}
}

// The time to end in holds the sleep, in which the Services learn of it, and the box's own
// time.
func TestSleep(t *testing.T) {
	for _, drain := range []string{"1", "10", "120"} {
		pod := render(t, "drainSeconds: "+drain).pod(t).Spec
		hook := pod.Containers[0].Lifecycle.PreStop
		if hook.Exec != nil || strconv.FormatInt(hook.Sleep.Seconds, 10) != drain {
			t.Errorf("drainSeconds %s without a token: the hook is %v", drain, hook)
		}
		endsWithin(t, pod, time.Duration(hook.Sleep.Seconds)*time.Second)
	}
}

// With an admin token, a pod drains before it ends. The program takes the hook's command,
// which needs no shell, with the pod's own environment.
func TestDrain(t *testing.T) {
	for _, token := range []string{"{value: a long random word}", "{existingSecret: our-admin}"} {
		for _, times := range [][2]int{{1, 1}, {10, 300}, {120, 3600}} {
			pod := render(t, fmt.Sprintf("{adminToken: %s, drainSeconds: %d, downloadSeconds: %d}", token, times[0], times[1])).pod(t).Spec
			box := pod.Containers[0]
			hook := box.Lifecycle.PreStop
			limit := time.Duration(times[0]+times[1]) * time.Second
			want := []string{"millpond", "drain", fmt.Sprintf("%ds", times[0]), fmt.Sprintf("%ds", int(limit.Seconds()))}
			if hook.Sleep != nil || !slices.Equal(hook.Exec.Command, want) {
				t.Errorf("the hook is %v, want %q", hook, want)
				continue
			}
			endsWithin(t, pod, limit)
			if !slices.ContainsFunc(box.Env, func(e core.EnvVar) bool { return e.Name == "MILLPOND_ADMIN_TOKEN_FILE" }) {
				t.Error("the hook has no token")
			}
			if times[0] > 1 {
				continue
			}
			cmd := exec.Command(binary(t), hook.Exec.Command[1:]...)
			cmd.Env = []string{"MILLPOND_LISTEN=127.0.0.1:1", "MILLPOND_ADMIN_TOKEN=a-secret-of-this-site"}
			begun := time.Now()
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "no box answers") || time.Since(begun) < time.Second {
				t.Errorf("the program, after %v: %v, %s", time.Since(begun), err, out)
			}
		}
	}
}
