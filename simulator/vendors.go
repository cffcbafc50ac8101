package simulator

import (
	_ "embed"
	"slices"

	"github.com/goccy/go-yaml"
)

// A Vendor is a real server as it was: a bundle of defects that were seen there.
type Vendor struct {
	// Name is what --as takes, such as "vllm-0.4".
	Name string `yaml:"name" json:"name"`
	// What says which server, and when.
	What string `yaml:"what" json:"what"`
	// Quirks are what a client met.
	Quirks []Quirk `yaml:"quirks" json:"quirks"`
	// Hides are clauses that a quirk breaks by itself, and that another of the
	// same server keeps from showing.
	Hides []string `yaml:"hides" json:"hides,omitempty"`
}

// A Quirk is one defect of a [Vendor].
type Quirk struct {
	// Defect is an entry as [CheckDefects] takes it.
	Defect string `yaml:"defect" json:"defect"`
	// Seen cites where.
	Seen string `yaml:"seen" json:"seen"`
}

//go:embed vendors.yaml
var vendorsYAML []byte

var vendors = func() []Vendor {
	var list []Vendor
	if err := yaml.UnmarshalWithOptions(vendorsYAML, &list, yaml.Strict()); err != nil {
		panic("vendors.yaml: " + err.Error()) // the file is ours
	}
	return list
}()

// Vendors returns the servers whose defects the simulator can have.
func Vendors() []Vendor { return slices.Clone(vendors) }

// vendor is the one of that name.
func vendor(name string) (Vendor, bool) {
	i := slices.IndexFunc(vendors, func(v Vendor) bool { return v.Name == name })
	if i < 0 {
		return Vendor{}, false
	}
	return vendors[i], true
}

// entries are the defects of a vendor.
func (v Vendor) entries() []string {
	var out []string
	for _, q := range v.Quirks {
		out = append(out, q.Defect)
	}
	return out
}
