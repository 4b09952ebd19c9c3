# K/E over the years.
# data: build/chapter10 --data designs
set logscale y
set xlabel "year"
set ylabel "share of experts used, K/E"
set xrange [2019.3:2027.9]
set yrange [0.0003:0.7]
set xtics 2020, exists("narrow") ? 2 : 1, 2026
set ytics ("1/4" 0.25, "1/16" 0.0625, "1/64" 0.015625, "1/256" 0.00390625, "1/1024" 0.0009765625)
jitter(i) = 0.1 * (int(i) % 7) - 0.3
named(k) = k eq "gshard-600b" ? "GShard" : k eq "kimi-k3" ? "Kimi K3" : k eq "switch-base" ? "Switch-Base" : k eq "switch-c" ? "Switch-C" : ""
set label "Mixtral" at 2023.4,0.36 center
plot data using ($2 + jitter($0)):5 with points linetype 2 pointsize 0.8, \
     data using (named(strcol(1)) eq "" ? NaN : ($2 + jitter($0))):5:(named(strcol(1))) with labels left offset 0.7,-0.5
