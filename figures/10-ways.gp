# Ways to choose K of E, as a power of ten, over the years.
# data: build/chapter10 --data designs
set xlabel "year"
set ylabel "ways to choose, power of ten"
set xrange [2019.3:2027]
set yrange [0:42]
set xtics 2020, exists("narrow") ? 2 : 1, 2026
jitter(i) = 0.1 * (int(i) % 7) - 0.3
named(k) = k eq "mixtral-8x7b" ? "Mixtral" : k eq "deepseekmoe-16b" ? "DeepSeekMoE" : k eq "deepseek-v3" ? "DeepSeek-V3" \
    : k eq "kimi-k3" ? "Kimi K3" : k eq "nemotron-3-super-120b-a12b" ? "Nemotron 3 Super" : k eq "switch-c" ? "Switch-C" : ""
plot data using ($2 + jitter($0)):6 with points linetype 1 pointsize 0.8, \
     data using (named(strcol(1)) eq "" ? NaN : ($2 + jitter($0))):6:(named(strcol(1))) with labels right offset -0.7,0.5
