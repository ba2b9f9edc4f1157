package check

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

func TestOverlays(t *testing.T) {
	for overlay, want := range map[string]struct {
		image string
		gpus  string
		args  []string
	}{
		"cpu": {image: "registry.example/barograph:1", gpus: "0"},
		"gpu": {image: "registry.example/barograph:1-cuda", gpus: "1", args: []string{"--device", "cuda"}},
	} {
		t.Run(overlay, func(t *testing.T) {
			built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join("..", "kubernetes", "overlays", overlay))
			if err != nil {
				t.Fatal(err)
			}
			found := map[string]int{}
			for _, r := range built.Resources() {
				found[r.GetKind()]++
				if r.GetNamespace() != "barograph" {
					t.Errorf("%s is in the namespace %q", r.CurId(), r.GetNamespace())
				}
				checkResource(t, r)
			}
			for kind, n := range map[string]int{"Deployment": 2, "PodDisruptionBudget": 2, "ScaledObject": 1, "NetworkPolicy": 1, "Service": 1, "ConfigMap": 1, "ServiceAccount": 1} {
				if found[kind] != n {
					t.Errorf("%d × %s, want %d", found[kind], kind, n)
				}
			}
			pod := podOf(t, built.Resources(), "barograph-classify")
			container := pod.Containers[0]
			gpu := container.Resources.Limits["nvidia.com/gpu"]
			if container.Image != want.image || gpu.String() != want.gpus {
				t.Errorf("classify runs %s with %s GPUs, want %s with %s", container.Image, gpu.String(), want.image, want.gpus)
			}
			if n := len(container.Args); len(want.args) > 0 && !slices.Equal(container.Args[n-len(want.args):], want.args) {
				t.Errorf("arguments %q do not end with %q", container.Args, want.args)
			}
		})
	}
}

// checkResource decodes strictly, as the API server does: an unknown field is an error.
func checkResource(t *testing.T, r *resource.Resource) {
	t.Helper()
	text, err := r.AsYAML()
	if err != nil {
		t.Fatal(err)
	}
	if r.GetKind() == "ScaledObject" {
		checkScaledObject(t, text)
		return
	}
	into := map[string]any{
		"Deployment": &appsv1.Deployment{}, "PodDisruptionBudget": &policyv1.PodDisruptionBudget{}, "NetworkPolicy": &networkingv1.NetworkPolicy{},
		"Service": &corev1.Service{}, "ConfigMap": &corev1.ConfigMap{}, "ServiceAccount": &corev1.ServiceAccount{},
	}[r.GetKind()]
	if into == nil {
		t.Fatalf("nothing checks a %s", r.GetKind())
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		t.Errorf("%s: %v", r.CurId(), err)
	}
	if d, ok := into.(*appsv1.Deployment); ok {
		checkDeployment(t, d)
	}
}

func checkDeployment(t *testing.T, d *appsv1.Deployment) {
	t.Helper()
	pod := d.Spec.Template.Spec
	for key, value := range d.Spec.Selector.MatchLabels {
		if d.Spec.Template.Labels[key] != value {
			t.Errorf("%s: its selector does not select its pods by %s", d.Name, key)
		}
	}
	volumes := map[string]bool{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
	}
	c := pod.Containers[0]
	for _, m := range c.VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("%s: there is no volume %s", d.Name, m.Name)
		}
	}
	if c.LivenessProbe == nil || c.ReadinessProbe == nil || c.StartupProbe == nil || c.Resources.Limits.Memory().IsZero() {
		t.Errorf("%s: a probe or the memory limit is missing", d.Name)
	}
	if s := c.SecurityContext; s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || !*pod.SecurityContext.RunAsNonRoot {
		t.Errorf("%s: it may do more than it needs", d.Name)
	}
}

func podOf(t *testing.T, resources []*resource.Resource, name string) corev1.PodSpec {
	t.Helper()
	for _, r := range resources {
		if r.GetKind() == "Deployment" && r.GetName() == name {
			var d appsv1.Deployment
			if err := yaml.Unmarshal([]byte(r.MustYaml()), &d); err != nil {
				t.Fatal(err)
			}
			return d.Spec.Template.Spec
		}
	}
	t.Fatalf("no deployment %s", name)
	return corev1.PodSpec{}
}

// kedaVersion is whose schema the ScaledObject is held against. The module is fetched, not
// imported: of it only the schema is wanted.
const kedaVersion = "github.com/kedacore/keda/v2@v2.21.0"

func checkScaledObject(t *testing.T, text []byte) {
	t.Helper()
	out, err := exec.Command("go", "mod", "download", "-json", kedaVersion).Output()
	if err != nil {
		t.Fatalf("fetching %s: %v", kedaVersion, err)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		t.Fatal(err)
	}
	var definition struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema any `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	readYAML(t, filepath.Join(module.Dir, "config/crd/bases/keda.sh_scaledobjects.yaml"), &definition)
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("scaledobject", closed(definition.Spec.Versions[0].Schema.OpenAPIV3Schema)); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("scaledobject")
	if err != nil {
		t.Fatal(err)
	}
	var object any
	if err := yaml.Unmarshal(text, &object); err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(object); err != nil {
		t.Errorf("ScaledObject: %v", err)
	}
	if strings.Contains(string(text), "latest") {
		t.Error("ScaledObject: no version is pinned")
	}
}

// closed forbids fields that an object's schema does not name: the API server would drop them
// without a word.
func closed(schema any) any {
	switch s := schema.(type) {
	case map[string]any:
		for key, value := range s {
			s[key] = closed(value)
		}
		properties, named := s["properties"].(map[string]any)
		_, open := s["additionalProperties"]
		if named && len(properties) > 0 && !open && s["x-kubernetes-preserve-unknown-fields"] == nil {
			s["additionalProperties"] = false
		}
	case []any:
		for i := range s {
			s[i] = closed(s[i])
		}
	}
	return schema
}
