package main

import (
	"bytes"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

var ourColor = color.RGBA{R: 0xc0, G: 0x20, B: 0x20, A: 0xff}

func (r *results) charts(out string) error {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	plotter.DefaultFont = plot.DefaultFont
	if err := r.throughput(filepath.Join(out, "throughput.svg")); err != nil {
		return err
	}
	return r.read16(filepath.Join(out, "read16.svg"))
}

// throughput draws bytes per second over the size of a Read, both logarithmic.
func (r *results) throughput(file string) error {
	p := plot.New()
	p.Title.Text = "Throughput by size of the Read, one goroutine"
	p.X.Label.Text, p.Y.Label.Text = "bytes in a Read", "bytes per second"
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	var x plot.ConstantTicks
	for _, size := range sizes {
		x = append(x, plot.Tick{Value: float64(size), Label: sizeName(size)})
	}
	p.X.Tick.Marker = x
	p.Y.Tick.Marker = decades()
	p.Add(plotter.NewGrid())
	p.Legend.Padding = vg.Points(2)
	p.Legend.XOffs, p.Legend.YOffs = -vg.Points(8), vg.Points(8)
	for i, peer := range r.alone.peers {
		points := make(plotter.XYs, len(sizes))
		for j, size := range sizes {
			points[j] = plotter.XY{X: float64(size), Y: float64(size) / r.alone.ns[i][j] * 1e9}
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return err
		}
		style(peer.name, i, line, dots)
		p.Add(line, dots)
		p.Legend.Add(peer.name, line, dots)
	}
	return save(p, 8*vg.Inch, 5.5*vg.Inch, file)
}

// style makes ours thick; the others differ in color and in shape.
func style(name string, i int, line *plotter.Line, dots *plotter.Scatter) {
	line.Width, line.Color = vg.Points(1.2), plotutil.Color(i)
	dots.Shape, dots.Radius = plotutil.Shape(i), vg.Points(3)
	switch name {
	case nameOurs:
		line.Width, line.Color = vg.Points(3), ourColor
		dots.Shape = draw.CircleGlyph{}
	case nameRaw:
		line.Color = color.Gray{0x60}
		line.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
	}
	dots.Color = line.Color
}

func decades() plot.ConstantTicks {
	var t plot.ConstantTicks
	for value, i := 1e6, 0; i < 5; value, i = value*10, i+1 {
		label := fmt.Sprintf("%g MB", value/1e6)
		if value >= 1e9 {
			label = fmt.Sprintf("%g GB", value/1e9)
		}
		t = append(t, plot.Tick{Value: value, Label: label})
		for j := 2.0; j < 10; j++ {
			t = append(t, plot.Tick{Value: value * j})
		}
	}
	return t
}

// read16 draws a bar for what 16 bytes take with each generator.
func (r *results) read16(file string) error {
	p := plot.New()
	p.Title.Text = "16 bytes, one goroutine"
	p.X.Label.Text = "nanoseconds (less is better)"
	p.X.Min = 0
	p.X.Tick.Marker = plot.TickerFunc(func(min, max float64) []plot.Tick {
		ticks := plot.DefaultTicks{}.Ticks(min, max)
		for i := range ticks {
			if ticks[i].Label != "" {
				ticks[i].Label = fmt.Sprintf("%g", ticks[i].Value)
			}
		}
		return ticks
	})
	var names []string
	var at plotter.XYs
	var values []string
	for i := range r.alone.peers {
		if r.alone.peers[i].name != nameRaw { // no generator
			names = append(names, r.alone.peers[i].name)
			at = append(at, plotter.XY{X: r.alone.ns[i][0]})
			values = append(values, threeDigits(r.alone.ns[i][0]))
		}
	}
	for i := range names { // the first one at the top
		y := len(names) - 1 - i
		bar, err := plotter.NewBarChart(plotter.Values{at[i].X}, vg.Points(18))
		if err != nil {
			return err
		}
		bar.Horizontal, bar.XMin = true, float64(y)
		bar.LineStyle.Width = 0
		bar.Color = color.RGBA{R: 0x60, G: 0x80, B: 0xa8, A: 0xff}
		if names[i] == nameOurs {
			bar.Color = ourColor
		}
		at[i].Y = float64(y)
		p.Add(bar)
	}
	labels, err := plotter.NewLabels(plotter.XYLabels{XYs: at, Labels: values})
	if err != nil {
		return err
	}
	labels.Offset = vg.Point{X: vg.Points(4), Y: -vg.Points(4)}
	p.Add(labels)
	slices.Reverse(names)
	p.NominalY(names...)
	p.X.Max *= 1.1 // room for the last label
	return save(p, 8*vg.Inch, 3.5*vg.Inch, file)
}

// save writes the plot on white, with a margin, since labels at the ends of an axis
// stand out. Readers without the font get one of the same measures.
func save(p *plot.Plot, width, height vg.Length, file string) error {
	svg := vgsvg.New(width, height)
	c := draw.New(svg)
	c.FillPolygon(color.White, []vg.Point{{}, {X: width}, {X: width, Y: height}, {Y: height}})
	margin := vg.Points(10)
	p.Draw(draw.Crop(c, margin, -3*margin, margin, -margin))
	var out bytes.Buffer
	if _, err := svg.WriteTo(&out); err != nil {
		return err
	}
	const family = "font-family:Liberation Sans"
	text := bytes.ReplaceAll(out.Bytes(), []byte(family), []byte(family+",Arial,Helvetica,sans-serif"))
	return os.WriteFile(file, text, 0o644)
}
