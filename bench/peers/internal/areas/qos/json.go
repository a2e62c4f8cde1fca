package qos

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	upstream "k8s.io/apimachinery/pkg/api/resource"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/qos/resource"
)

// jsonCase is a JSON text that ought to hold a quantity.
type jsonCase struct {
	Text string `json:"text"`
}

func jsonSuite() compare.Suite {
	return &compare.Cases[jsonCase]{
		Parts: []string{"quantity/json"},
		Corners: []jsonCase{
			{`null`}, {`true`}, {`{}`}, {`[]`}, {`""`}, {`" 1 "`}, {`"\t1"`}, {`"\u0031"`}, {`1e3`}, {`1.5`}, {`-0`}, {`"1`}, {``},
			{"\"\u00a01Gi\u2003\""}, {`01`}, {`.5`}, {`"null"`},
		},
		Generate: func(r *rand.Rand) jsonCase {
			text := quantityText(r)
			if r.IntN(3) == 0 {
				return jsonCase{text}
			}
			return jsonCase{pick(r, "", " ", "\t", "\u00a0") + strconv.Quote(pick(r, "", " ", "\u2003")+text+pick(r, "", " "))}
		},
		Compare: func(c jsonCase, rec *compare.Record) {
			var u upstream.Quantity
			var o resource.Quantity
			uerr, oerr := json.Unmarshal([]byte(c.Text), &u), json.Unmarshal([]byte(c.Text), &o)
			rec.Text("quantity/json", jsonAnswer(uncached(u), uerr), jsonAnswer(o.String(), oerr))
		},
		Documented: []compare.Difference[jsonCase]{
			{Differs: differsRange, Applies: func(c jsonCase, d compare.Disagreement) bool {
				amount, _ := exact(inner(c.Text))
				return d.Ours == "range" && isRange(quantityCase{A: inner(c.Text)}, compare.Disagreement{Part: "quantity/parse", Upstream: "<nil>", Ours: "range"}) && amount != nil
			}},
			{Differs: differsExponent, Applies: func(c jsonCase, d compare.Disagreement) bool {
				return isLongExponent(quantityCase{A: inner(c.Text)}, d)
			}},
			{Differs: differsAboveE, Applies: func(_ jsonCase, d compare.Disagreement) bool { return sameButForFactor(d.Upstream, d.Ours) }},
		},
	}
}

func jsonAnswer(text string, err error) string {
	if err != nil {
		return errorText(err)
	}
	return text
}

// inner returns the quantity inside a JSON text.
func inner(text string) string {
	var v any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return ""
	}
	return strings.TrimSpace(fmt.Sprint(v))
}
