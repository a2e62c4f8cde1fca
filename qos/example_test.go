package qos_test

import (
	"fmt"

	"github.com/orchcore/orchcore/qos"
	"github.com/orchcore/orchcore/qos/resource"
)

func ExampleClassOf() {
	pod, err := qos.DecodePod([]byte(`{"spec": {"containers": [
		{"name": "web", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]}}`))
	if err != nil {
		panic(err)
	}
	fmt.Println(qos.ClassOf(pod), "as written,", qos.ClassOf(qos.Defaulted(pod)), "as the API server stores it")
	// Output: Burstable as written, Guaranteed as the API server stores it
}

func ExampleDecodePod() {
	_, err := qos.DecodePod([]byte(`{"spec": {"containers": [{"resources": {"requests": {"cpu": "1 core"}}}]}}`))
	fmt.Println(err)
	// Output: spec.containers[0].resources.requests["cpu"]: parse quantity "1 core": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'
}

func ExampleClassifier() {
	amount := qos.Compute{CPU: resource.MustParse("500m"), Memory: resource.MustParse("1Gi")}
	var c qos.Classifier
	c.Add(amount, amount)
	fmt.Println(c.Class())
	c.Add(amount, qos.Compute{})
	fmt.Println(c.Class())
	// Output:
	// Guaranteed
	// Burstable
}
