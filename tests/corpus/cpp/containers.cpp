// What C++ programs do with their library: its templates are most of the code.
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

struct node {
    std::string name;
    std::vector<std::unique_ptr<node>> children;
    std::function<int(int)> weigh;

    int total(int depth) const {
        return std::accumulate(children.begin(), children.end(), weigh(depth),
                               [&](int sum, const auto &child) { return sum + child->total(depth + 1); });
    }
};

std::unique_ptr<node> tree(int depth, int width) {
    auto made = std::make_unique<node>();
    made->name = "node " + std::to_string(depth);
    made->weigh = [depth](int at) { return depth * at; };
    for (int i = 0; depth && i < width; i++)
        made->children.push_back(tree(depth - 1, width));
    return made;
}

} // namespace

extern "C" __attribute__((export_name("run"))) int run(int count) {
    std::map<std::string, int> ordered;
    std::unordered_map<int, std::vector<std::string>> buckets;
    for (int i = 0; i < count; i++) {
        auto name = std::to_string(i * 7919 % 1000);
        ordered[name] += i;
        buckets[i % 13].push_back(name);
    }
    std::vector<std::pair<int, std::string>> found;
    for (const auto &[name, value] : ordered)
        found.emplace_back(value, name);
    std::stable_sort(found.begin(), found.end(), std::greater<>{});
    for (auto &[key, names] : buckets)
        std::sort(names.begin(), names.end());
    return tree(3, 3)->total(1) + static_cast<int>(found.size()) + found.front().first;
}

int main() { return run(100) & 1; }
