package main

import (
	"image/color"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// names writes names beside points, in a column left of the plot or right of it. Those that would lie on each other move
// apart, and on the right a thin line leads to the point.
type names struct {
	left   bool
	names  []string
	points plotter.XYs
	colors []color.Color
}

// Whoever has not our font shows one that may be wider: as much room is left for it.
const otherFonts = 1.25

const (
	nameSize   = vg.Length(11)
	nameGap    = vg.Length(16) // from the point to its name: the thin line lies there
	nameHeight = 1.2 * nameSize
)

func (n *names) add(name string, at plotter.XY, c color.Color) {
	n.names, n.points, n.colors = append(n.names, name), append(n.points, at), append(n.colors, c)
}

func (n *names) style(p *plot.Plot, i int) draw.TextStyle {
	s := p.Title.TextStyle
	s.Font.Size, s.Color = nameSize, n.colors[i]
	s.XAlign, s.YAlign = draw.XLeft, draw.YCenter
	return s
}

// width is that of the longest name in any font.
func (n *names) width(p *plot.Plot) (most vg.Length) {
	for i, name := range n.names {
		most = max(most, otherFonts*n.style(p, i).Width(name))
	}
	return most
}

// Plot implements plot.Plotter.
func (n *names) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	height := make([]vg.Length, len(n.names))
	order := make([]int, len(n.names)) // from below
	for i, at := range n.points {
		height[i], order[i] = y(at.Y), i
	}
	slices.SortFunc(order, func(a, b int) int { return int(100 * (height[a] - height[b])) })
	middle := slices.Clone(height)
	for range 100 { // neighbours that are too close give way, each by half
		for k := 1; k < len(order); k++ {
			below, above := order[k-1], order[k]
			if missing := nameHeight - (height[above] - height[below]); missing > 0 {
				height[below] -= missing / 2
				height[above] += missing / 2
			}
		}
	}
	for i, at := range n.points {
		gap := nameGap
		if n.left {
			gap = -n.width(p)
		} else {
			line := draw.LineStyle{Color: n.colors[i], Width: vg.Points(0.6)}
			c.StrokeLine2(line, x(at.X)+4, middle[i], x(at.X)+gap-2, height[i])
		}
		c.FillText(n.style(p, i), vg.Point{X: x(at.X) + gap, Y: height[i]}, n.names[i])
	}
}

// GlyphBoxes implements plot.GlyphBoxer: the plot leaves that room.
func (n *names) GlyphBoxes(p *plot.Plot) (boxes []plot.GlyphBox) {
	width := n.width(p)
	for i := range n.names {
		box := plot.GlyphBox{X: p.X.Norm(n.points[i].X), Y: p.Y.Norm(n.points[i].Y)}
		if n.left {
			box.Rectangle.Min.X = -width
		} else {
			box.Rectangle.Max.X = nameGap + width
		}
		boxes = append(boxes, box)
	}
	return boxes
}
