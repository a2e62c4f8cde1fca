package resource_test

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/orchcore/orchcore/qos/resource"
)

func ExampleParse() {
	for _, s := range []string{"1.5Gi", "1500m", "0.1", "1e3", "0.1n"} {
		q := resource.MustParse(s)
		fmt.Printf("%-6s prints as %-6v and counts as %d\n", s, q, q.Value())
	}
	_, err := resource.Parse("1e2147483648")
	fmt.Println(errors.Is(err, resource.ErrRange))
	// Output:
	// 1.5Gi  prints as 1536Mi and counts as 1610612736
	// 1500m  prints as 1500m  and counts as 2
	// 0.1    prints as 100m   and counts as 1
	// 1e3    prints as 1e3    and counts as 1000
	// 0.1n   prints as 1n     and counts as 1
	// true
}

func ExampleQuantity_Add() {
	total := resource.Quantity{}
	for _, s := range []string{"1Gi", "1G"} {
		total = total.Add(resource.MustParse(s))
	}
	fmt.Println(total, total.Format())
	_, ok := resource.Max().CheckedAdd(total)
	fmt.Println("fits:", ok, "saturates:", resource.Max().Add(total) == resource.Max())
	// Output:
	// 2073741824 BinarySI
	// fits: false saturates: true
}

func ExampleList_Lacking() {
	var request, free resource.List
	if err := json.Unmarshal([]byte(`{"cpu": "2", "memory": "1Gi", "example.com/gpu": 1}`), &request); err != nil {
		panic(err)
	}
	if err := json.Unmarshal([]byte(`{"cpu": "1900m", "memory": "4Gi"}`), &free); err != nil {
		panic(err)
	}
	fmt.Println(request.Fits(free), request.Lacking(free))
	// Output: false [cpu example.com/gpu]
}

func ExampleAmounts() {
	var a resource.Amounts
	if err := json.Unmarshal([]byte(`{"memory": "1Gi", "cpu": 0.5}`), &a); err != nil {
		panic(err)
	}
	for _, amount := range a {
		fmt.Println(amount.Name, amount.Quantity)
	}
	// Output:
	// cpu 500m
	// memory 1Gi
}
