// Validate reads manifests as the published types of Kubernetes and refuses
// what these do not know: go run . ../*.yaml. It is a module of its own, so
// that the program needs none of them.
package main

import (
	"bytes"
	"fmt"
	"os"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	bad := false
	for _, path := range os.Args[1:] {
		b, err := os.ReadFile(path)
		if err != nil {
			fmt.Println(err)
			os.Exit(2)
		}
		for i, doc := range bytes.Split(b, []byte("\n---\n")) {
			if err := validate(doc); err != nil {
				bad = true
				fmt.Printf("%s, document %d: %v\n", path, i+1, err)
			}
		}
	}
	if bad || len(os.Args) < 2 {
		os.Exit(1)
	}
}

func validate(doc []byte) error {
	var kind struct{ APIVersion, Kind string }
	if err := yaml.Unmarshal(doc, &kind); err != nil {
		return err
	}
	switch kind.APIVersion + "/" + kind.Kind {
	case "batch/v1/Job":
		var j batchv1.Job
		if err := yaml.UnmarshalStrict(doc, &j); err != nil {
			return err
		}
		s := j.Spec
		if s.CompletionMode != nil && *s.CompletionMode == batchv1.IndexedCompletion && (s.Completions == nil || s.Parallelism == nil || *s.Completions != *s.Parallelism) {
			return fmt.Errorf("%s: all shards must run at once: completions and parallelism differ", j.Name)
		}
		if p := s.Template.Spec.RestartPolicy; p != corev1.RestartPolicyNever && p != corev1.RestartPolicyOnFailure {
			return fmt.Errorf("%s: restartPolicy %q", j.Name, p)
		}
		return nil
	case "v1/PersistentVolumeClaim":
		return yaml.UnmarshalStrict(doc, new(corev1.PersistentVolumeClaim))
	}
	return fmt.Errorf("%s %s is not known here", kind.APIVersion, kind.Kind)
}
