# Three batches: load, mean probability, and where a step moves the logits.
# data: build/chapter4 --data push --experts 4 --seeds 0
stats data index 0 using (loss0 = $6) nooutput
stats data index 1 using (loss1 = $6) nooutput
stats data index 2 using (loss2 = $6) nooutput
set multiplot
unset key
set yrange [0:1.1]
set xrange [-0.6:3.6]
set xtics 0,1,3
set ytics 0.25
do for [batch=0:2] {
    set lmargin at screen 0.14 + 0.29 * batch
    set rmargin at screen 0.40 + 0.29 * batch
    set format y (batch == 0 ? "%g" : "")
    set tmargin at screen 0.90
    set bmargin at screen 0.57
    set title sprintf("%s, loss %.2f", batch == 0 ? "even" : batch == 1 ? "collapse" : "skewed", \
        batch == 0 ? loss0 : batch == 1 ? loss1 : loss2) offset 0,-0.5
    unset xlabel
    set format x ""
    if (batch == 0) { set ylabel "load, f" } else { unset ylabel }
    plot data index batch using 2:3 with boxes linetype 1
    unset title
    set tmargin at screen 0.50
    set bmargin at screen 0.17
    set xlabel "expert" offset 0,0.3
    set format x "%g"
    if (batch == 0) { set ylabel "probability, P" }
    plot data index batch using 2:4 with boxes linetype 2, \
         data index batch using 2:(abs($5) > 0.01 ? $4 + ($5 < 0 ? 0.30 : 0.04) : NaN):(0):($5 < 0 ? -0.26 : 0.26) \
             with vectors linecolor rgb "#888888" linewidth 2 head filled size 0.18,25
}
unset multiplot
